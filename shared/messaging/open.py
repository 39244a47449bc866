"""Which bus the settings ask for."""

import ssl

from shared.messaging.bus import Bus
from shared.messaging.pglog.bus import PgLogBus
from shared.runtime.settings import KernelSettings


def open_bus(settings: KernelSettings) -> Bus:
    """Kafka in production, the PostgreSQL log in the embedded mode. Nothing connects yet."""
    if settings.bus == "kafka":
        # Here, because the embedded mode starts faster without the client.
        from shared.messaging.kafka.bus import KafkaAddress, KafkaBus

        tls = ssl.create_default_context(cafile=settings.kafka_ca_file) if settings.kafka_tls else None
        address = KafkaAddress(settings.kafka_bootstrap, tls, _sasl(settings))
        return KafkaBus(address, instance_id=settings.kafka_instance or None)
    assert settings.bus_database_url is not None
    return PgLogBus(settings.bus_database_url.get_secret_value())


def _sasl(settings: KernelSettings) -> dict[str, str]:
    if not settings.kafka_sasl_mechanism:
        return {}
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password.get_secret_value(),
    }
