"""What may befall Redis and the wires."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.stage import Stage


async def befall(stage: "Stage", fault: str) -> None:
    random, server = stage.random, stage.server
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
            await stage.passed(lasts_s)
            server.start()
        case "restart with an older memory":
            older = server.bus.keys.copy()
            await stage.passed(lasts_s)
            server.stop()
            server.bus.keys = older
            stage.truth.went_back = True
            older.scripts.clear()
            await stage.passed(0.1)
            server.start()
        case "flush all":
            server.forget()
        case "trim":
            server.bus.trims_to = random.choice((1, 5))
            await stage.passed(lasts_s)
            server.bus.trims_to = None
        case "lossy":
            server.loses, server.repeats, server.overtakes = (
                random.choice((0.0, 0.05, 0.3)) for _ in range(3)
            )
            await stage.passed(lasts_s)
            server.loses = server.repeats = server.overtakes = 0.0
        case "late":
            stage.weather.latency_s = random.choice((0.02, 0.3))
            await stage.passed(lasts_s)
            stage.weather.latency_s = 0.001
        case "chops":
            stage.weather.chops = True
