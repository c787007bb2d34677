"""Deployment settings: the one place that reads environment variables."""

from __future__ import annotations

from fraudloop.settings.alerts import (
    LEAST_SECRET,
    MOST_ALERTS,
    SMTP_OVER_TLS,
    Alerting,
    Smtp,
    Webhook,
)
from fraudloop.settings.kafka import KAFKA_MECHANISMS, KAFKA_PROTOCOLS, Kafka
from fraudloop.settings.loop import (
    Keeping,
    MlflowLogin,
    RegistrySettings,
    for_a_pipeline,
    mlflow_login,
)
from fraudloop.settings.process import let_idle_threads_sleep, let_mlflow_tell_nobody, share_metrics
from fraudloop.settings.serving import Serving
from fraudloop.settings.sources import Settings, kaggle_login, without_home
from fraudloop.settings.spark import Spark, for_spark

__all__ = [
    "KAFKA_MECHANISMS",
    "KAFKA_PROTOCOLS",
    "LEAST_SECRET",
    "MOST_ALERTS",
    "SMTP_OVER_TLS",
    "Alerting",
    "Kafka",
    "Keeping",
    "MlflowLogin",
    "RegistrySettings",
    "Serving",
    "Settings",
    "Smtp",
    "Spark",
    "Webhook",
    "for_a_pipeline",
    "for_spark",
    "kaggle_login",
    "let_idle_threads_sleep",
    "let_mlflow_tell_nobody",
    "mlflow_login",
    "share_metrics",
    "without_home",
]
