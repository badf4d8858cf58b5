"""What may befall Redis, the wires and the gateway."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World


async def befall(world: "World", fault: str) -> None:
    random, server = world.random, world.server
    lasts_s = random.uniform(0.05, 1.5)
    match fault:
        case "cut":
            server.cut(random.choice((0.5, 1.0)))
        case "block":
            server.block(random.uniform(0.1, 5.0), random.choice((0.5, 1.0)))
        case "half open":
            server.half_open(random.choice((0.5, 1.0)))
        case "restart" | "restart without memory":
            server.stop()
            server.bus.keys.scripts.clear()
            if fault != "restart":
                server.forget()
            await world.passed(lasts_s)
            server.start()
        case "restart with an older memory":
            older = server.bus.keys.copy()
            await world.passed(lasts_s)
            server.stop()
            server.bus.keys = older
            world.truth.went_back = True
            older.scripts.clear()
            await world.passed(0.1)
            server.start()
        case "flush all":
            server.forget()
        case "trim":
            server.bus.trims_to = random.choice((1, 5))
            await world.passed(lasts_s)
            server.bus.trims_to = None
        case "lossy":
            server.loses, server.repeats, server.overtakes = (
                random.choice((0.0, 0.05, 0.3)) for _ in range(3)
            )
            await world.passed(lasts_s)
            server.loses = server.repeats = server.overtakes = 0.0
        case "late":
            world.weather.latency_s = random.choice((0.02, 0.3))
            await world.passed(lasts_s)
            world.weather.latency_s = 0.001
        case "chops":
            world.weather.chops = True
        case "new gateway":
            world.restart_gateway()
        case "drain":
            for client in world.clients:
                if client.socket is not None and client.socket.listener is not None:
                    client.socket.listener.shut_down()
            await world.passed(0.3)
            world.restart_gateway()
