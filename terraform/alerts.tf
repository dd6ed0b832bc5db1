# Alerts on failed executions, failed tasks and waiting jobs, and the budget.
# Without ALERT_EMAIL no mail is sent; the console still shows the alerts.

locals {
  channels = google_monitoring_notification_channel.email[*].name

  # Log entries about jobs (local.progress) that need attention. Entries are matched, not a metric: the mean of a
  # distribution would hide a bad last look, and an alert on a metric is refused until minutes after the metric is made.
  job_alerts = {
    failing = {
      title    = "more than ${var.alert_failed_percent} % of a job's tasks failed"
      severity = "ERROR"
      filter   = "jsonPayload.failed_share>${var.alert_failed_percent / 100}"
      advice   = "Its other tasks continue; `invoke workflow-cancel` stops the run. Errors of the failed tasks:"
      command  = "invoke logs --exp-id $${log.extracted_label.exp_id} --run-id $${log.extracted_label.run_id} --stage $${log.extracted_label.stage} --severity ERROR"
    }
    waiting = {
      title    = "tasks wait for machines for more than ${var.alert_waiting_seconds} s"
      severity = "WARNING"
      filter   = "jsonPayload.waiting_seconds>${var.alert_waiting_seconds}"
      advice   = "Fewer than half of the tasks that may run at the same time are running: quota is used up, or the machine type or Spot machines are not available. The job's last events show which. Batch gives up a job that has not started after two days."
      command  = "invoke job-describe $${log.extracted_label.job}"
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email == "" ? 0 : 1

  display_name = "Epidemic forecasts (${var.workflow_name})"
  type         = "email"
  labels       = { email_address = var.alert_email }
  user_labels  = local.labels
  force_delete = true # it may be deleted although alerts name it, when ALERT_EMAIL is unset
  depends_on   = [google_project_service.apis]
}

resource "google_monitoring_alert_policy" "failed_executions" {
  display_name          = "${var.workflow_name}: a run failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "an execution ended FAILED"
    condition_threshold {
      filter          = "${local.ended} AND metric.labels.status=\"FAILED\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
      trigger {
        count = 1
      }
    }
  }

  alert_strategy {
    auto_close = "1800s" # no data arrives while nothing runs
  }
  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      An execution of the workflow ${var.workflow_name} in ${var.project_id} failed. To find it, its stage, its job and the job's logs:

          invoke workflow-list
          invoke workflow-describe EXECUTION

      `invoke run --exp-id ... --run-id ...` resumes that run.
    EOT
  }

  depends_on = [google_project_service.apis]
}

resource "google_monitoring_alert_policy" "jobs" {
  for_each = local.job_alerts

  display_name          = "${var.workflow_name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter           = "${local.progress} AND ${each.value.filter}"
      label_extractors = { for label in ["exp_id", "run_id", "stage", "job"] : label => "EXTRACT(jsonPayload.${label})" }
    }
  }

  alert_strategy {
    auto_close = "3600s"
    notification_rate_limit {
      period = "3600s" # a job is looked at every few seconds or minutes; one alert an hour is enough
    }
  }
  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Stage $${log.extracted_label.stage} of run $${log.extracted_label.run_id} of $${log.extracted_label.exp_id}: ${each.value.title}. ${each.value.advice}

          ${each.value.command}
    EOT
  }

  depends_on = [google_project_service.apis]
}

# The API of budgets counts requests against a project; a person's own login has none.
provider "google" {
  alias                 = "budget"
  project               = var.project_id
  billing_project       = var.project_id
  user_project_override = true
}

data "google_project" "this" {
  count = local.has_budget ? 1 : 0

  project_id = var.project_id
  depends_on = [google_project_service.apis]
}

# A budget warns and stops nothing, and Google's figures are hours late.
resource "google_billing_budget" "monthly" {
  count    = local.has_budget ? 1 : 0
  provider = google.budget

  billing_account = var.billing_account
  display_name    = "Epidemic forecasts (${var.workflow_name})"

  budget_filter {
    projects        = ["projects/${data.google_project.this[0].number}"]
    calendar_period = "MONTH"
  }
  amount {
    specified_amount {
      currency_code = "USD"
      units         = tostring(var.monthly_budget_usd)
    }
  }
  dynamic "threshold_rules" {
    for_each = [0.5, 0.8, 1.0]
    content {
      threshold_percent = threshold_rules.value
      spend_basis       = "CURRENT_SPEND"
    }
  }
  # Administrators of the billing account get mail in any case.
  dynamic "all_updates_rule" {
    for_each = length(local.channels) > 0 ? [local.channels] : []
    content {
      monitoring_notification_channels = all_updates_rule.value
    }
  }

  depends_on = [google_project_service.apis]
}
