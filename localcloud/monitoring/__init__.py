"""Cloud Monitoring: dashboards, alert policies and notification channels, kept, never evaluated."""
