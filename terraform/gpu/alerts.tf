# The alerts, from alerts.yaml, the address that gets mail about them, and the budget.
# Without ALERT_EMAIL no mail is sent; the console still shows the alerts.

locals {
  channels = google_monitoring_notification_channel.email[*].name
  alerts   = { for policy in yamldecode(templatefile("${path.module}/alerts.yaml", local.shown)) : trimprefix(policy.displayName, "${local.stem}: ") => policy }
}

resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email == "" ? 0 : 1

  display_name = "GPU lane (${local.stem})"
  type         = "email"
  labels       = { email_address = var.alert_email }
  user_labels  = local.labels
  force_delete = true # it may be deleted although alerts name it, when ALERT_EMAIL is unset
  depends_on   = [google_project_service.apis]
}

resource "google_monitoring_alert_policy" "lane" {
  for_each = local.alerts

  display_name          = each.value.displayName
  combiner              = each.value.combiner
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  dynamic "conditions" {
    for_each = each.value.conditions
    content {
      display_name = conditions.value.displayName
      condition_threshold {
        filter          = conditions.value.conditionThreshold.filter
        comparison      = conditions.value.conditionThreshold.comparison
        threshold_value = conditions.value.conditionThreshold.thresholdValue
        duration        = conditions.value.conditionThreshold.duration
        dynamic "aggregations" {
          for_each = conditions.value.conditionThreshold.aggregations
          content {
            alignment_period     = aggregations.value.alignmentPeriod
            per_series_aligner   = aggregations.value.perSeriesAligner
            cross_series_reducer = aggregations.value.crossSeriesReducer
            group_by_fields      = try(aggregations.value.groupByFields, [])
          }
        }
        trigger {
          count = conditions.value.conditionThreshold.trigger.count
        }
      }
    }
  }

  alert_strategy {
    auto_close = each.value.alertStrategy.autoClose
  }
  documentation {
    mime_type = each.value.documentation.mimeType
    content   = each.value.documentation.content
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

# A budget warns and stops nothing, and Google's figures are hours late.
resource "google_billing_budget" "monthly" {
  count    = local.has_budget ? 1 : 0
  provider = google.budget

  billing_account = var.billing_account
  display_name    = "GPU lane (${local.stem})"

  budget_filter {
    projects        = ["projects/${data.google_project.this.number}"]
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

  depends_on = [google_project_service.chosen]
}
