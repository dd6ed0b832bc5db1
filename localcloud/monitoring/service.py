"""Monitoring put together: dashboards, alert policies, and the channels that policies notify."""

from localcloud.monitoring.channels import Channels
from localcloud.monitoring.dashboards import Dashboards
from localcloud.monitoring.policies import AlertPolicies
from localcloud.monitoring.rules import HasMetric
from localcloud.routing import Route


class MonitoringService:
    """What is watched in all projects; `has_metric` tells whether a log-based metric exists.

    Nothing is measured here: charts stay empty, and no policy ever opens an incident.
    """

    def __init__(self, has_metric: HasMetric):
        self._dashboards = Dashboards(has_metric)
        self._policies = AlertPolicies(self._has_channel, has_metric)
        self._channels = Channels(self._policies.users_of, self._policies.forget_channel)

    def routes(self) -> list[Route]:
        return [*self._dashboards.routes(), *self._policies.routes(), *self._channels.routes()]

    def forget_all(self) -> None:
        self._dashboards.forget_all()
        self._policies.forget_all()
        self._channels.forget_all()

    def _has_channel(self, project: str, channel: str) -> bool:
        return self._channels.has(project, channel)
