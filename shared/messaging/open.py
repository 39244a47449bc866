"""Which bus the settings ask for."""

from shared.messaging.bus import Bus
from shared.messaging.pglog import PgLogBus
from shared.settings import KernelSettings


def open_bus(settings: KernelSettings) -> Bus:
    """Kafka in production, the PostgreSQL log in the embedded mode. Nothing connects yet."""
    if settings.bus == "kafka":
        from shared.messaging.kafka import KafkaBus  # the embedded mode starts faster without the client

        return KafkaBus(settings.kafka_bootstrap)
    assert settings.bus_database_url is not None
    return PgLogBus(settings.bus_database_url.get_secret_value())
