# Dashboards and alerts in a plan. tests/cloud/test_monitoring.py checks each tile and filter.

mock_provider "google" {}
mock_provider "google" {
  alias = "budget"
}

variables {
  project_id  = "my-lab-forecasts"
  bucket_name = "my-lab-bucket"
}

run "each_stage_has_a_dashboard_and_there_is_one_over_all" {
  command = plan

  assert {
    condition     = toset(keys(google_monitoring_dashboard.boards)) == toset(["builder", "runner", "output", "overall"])
    error_message = "A dashboard is missing."
  }
  assert {
    condition     = length(distinct([for board in google_monitoring_dashboard.boards : jsondecode(board.dashboard_json).displayName])) == 4
    error_message = "Two dashboards have the same name."
  }
  assert {
    condition     = length(google_monitoring_notification_channel.email) == 0 && length(google_billing_budget.monthly) == 0
    error_message = "Mail and the budget are optional."
  }
}

run "the_alert_address_gets_mail_about_the_budget" {
  command = plan
  variables {
    alert_email           = "forecasts@example.org"
    billing_account       = "012345-6789AB-CDEF01"
    monthly_budget_usd    = 200
    alert_failed_percent  = 2.5
    alert_waiting_seconds = 600
    install_ops_agent     = true
  }

  assert {
    condition     = google_monitoring_notification_channel.email[0].labels.email_address == "forecasts@example.org"
    error_message = "Mail does not go to ALERT_EMAIL."
  }
  assert {
    condition     = [for rule in google_billing_budget.monthly[0].threshold_rules : rule.threshold_percent] == [0.5, 0.8, 1]
    error_message = "The budget does not warn at 50, 80 and 100 %."
  }
  assert {
    condition     = length(google_billing_budget.monthly[0].all_updates_rule) == 1
    error_message = "The budget sends no mail to ALERT_EMAIL."
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.jobs["failing"].conditions[0].condition_matched_log[0].filter, "failed_share>0.025")
    error_message = "The filter must compare a share; the variable is a percentage."
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.jobs["waiting"].conditions[0].condition_matched_log[0].filter, "waiting_seconds>600")
    error_message = "The threshold is not that of the variable."
  }
  assert {
    condition     = contains(keys(google_project_iam_member.batch), "roles/monitoring.metricWriter")
    error_message = "Without the role the Ops Agent cannot write what it measures."
  }
}

run "wrong_settings_of_alerts_are_refused" {
  command = plan
  variables {
    alert_email           = "forecasts"
    alert_failed_percent  = 100
    alert_waiting_seconds = 0
    monthly_budget_usd    = 199.5
  }
  expect_failures = [var.alert_email, var.alert_failed_percent, var.alert_waiting_seconds, var.monthly_budget_usd]
}
