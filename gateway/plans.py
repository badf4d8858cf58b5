"""What a key may do. A plan is a row; a key names one."""

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """Limits of one connection. What a welcome tells is what is enforced."""

    name: str
    subscriptions_max: int
    commands_per_s: float
    commands_burst: int

    def told(self) -> dict[str, int]:
        """As the welcome tells it to the client."""
        return {
            "subscriptions": self.subscriptions_max,
            "commands_per_s": int(self.commands_per_s),
            "commands_burst": self.commands_burst,
        }


PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("free", subscriptions_max=100, commands_per_s=5, commands_burst=20),
        Plan("pro", subscriptions_max=1_024, commands_per_s=20, commands_burst=100),
        Plan("unlimited", subscriptions_max=100_000, commands_per_s=1_000, commands_burst=5_000),
    )
}
