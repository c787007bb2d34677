"""Starts a broker as apache/kafka does: from KAFKA_… variables, which become its properties."""

import os
import subprocess
from pathlib import Path

PROPERTIES = Path("/opt/kafka/config/server.properties")
NO_PROPERTIES = {"KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS"}


def start() -> None:
    """Write the properties, format the storage unless it is, and become the broker."""
    said = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith("KAFKA_") and name not in NO_PROPERTIES
    }
    lines = [f"{name}={value}\n" for name, value in sorted(said.items())]
    PROPERTIES.write_text("".join(lines), encoding="utf-8")
    java = ["java", "-cp", "/opt/kafka/libs/*", *os.environ.get("KAFKA_HEAP_OPTS", "").split()]
    java += ["-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    form = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
    form += ["-t", os.environ["CLUSTER_ID"], "-c", str(PROPERTIES)]
    subprocess.run([*java, *form], check=True)
    os.execvp("java", [*java, "kafka.Kafka", str(PROPERTIES)])


if __name__ == "__main__":
    start()
