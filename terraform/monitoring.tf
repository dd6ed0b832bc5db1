# Metrics from the workflow's log entries about jobs, and four dashboards. docs/monitoring.md describes each tile;
# alerts.tf has the alerts.

locals {
  # Batch exports no metrics of tasks. But each time the workflow looks at a job, every 2 seconds at first and every
  # 5 minutes later, it logs the number of tasks in each state (log_progress in workflow.yaml).
  progress = join(" AND ", concat(local.workflow_lines, ["jsonPayload.event=(\"stage_progress\" OR \"stage_end\")"]))
  progress_labels = {
    stage  = "builder, runner or output"
    job    = "the Batch job"
    event  = "stage_progress, or stage_end for the last look at a job"
    exp_id = "the experiment"
    run_id = "the run"
  }

  task_states = ["pending", "assigned", "running", "succeeded", "failed", "unexecuted"]
  measures = merge(
    { for state in local.task_states : "tasks_${state}" => { field = "tasks.${state}", unit = "1", about = "tasks ${state}" } },
    { waiting_seconds = { field = "waiting_seconds", unit = "s", about = "seconds that tasks wait for machines" } },
  )
}

# A number in a log entry becomes a distribution, the only kind that keeps it: a counter counts entries. The mean of a
# distribution is exact whatever its buckets, so a chart takes the mean over the looks at a job, then sums over jobs.
resource "google_logging_metric" "progress" {
  for_each = local.measures

  name             = "${var.workflow_name}/${each.key}"
  description      = "Per look at a Batch job: ${each.value.about}"
  filter           = local.progress
  value_extractor  = "EXTRACT(jsonPayload.${each.value.field})"
  label_extractors = { for label in keys(local.progress_labels) : label => "EXTRACT(jsonPayload.${label})" }

  metric_descriptor {
    metric_kind  = "DELTA"
    value_type   = "DISTRIBUTION"
    unit         = each.value.unit
    display_name = "${var.workflow_name}: ${each.value.about}"

    dynamic "labels" {
      for_each = local.progress_labels
      content {
        key         = labels.key
        value_type  = "STRING"
        description = labels.value
      }
    }
  }

  # The defaults of the service; without them here, every plan would remove them.
  bucket_options {
    exponential_buckets {
      num_finite_buckets = 64
      growth_factor      = 2
      scale              = 0.01
    }
  }

  depends_on = [google_project_service.apis]
}

locals {
  # One dashboard per stage, and one for all stages: the same tiles for some or all machines and jobs.
  views = merge(
    { for stage, letter in local.letters : stage => {
      title = "stage ${letter} (${stage})"
      vms   = "metadata.user_labels.\"stage\"=\"${stage}\""
      jobs  = "metric.labels.stage=\"${stage}\""
      lines = { workflow = "jsonPayload.stage=\"${stage}\"", job = "labels.stage=\"${stage}\"" }
      split = false
    } },
    { overall = {
      title = "overall"
      vms   = ""
      jobs  = ""
      lines = { workflow = "", job = "" }
      split = true
    } },
  )

  # Log entries of this workflow, and of jobs by their labels. Entries of tasks and of agents both have the labels, and a
  # task whose container never started has none of its own.
  workflow_lines = [
    "resource.type=\"workflows.googleapis.com/Workflow\"",
    "resource.labels.workflow_id=${jsonencode(var.workflow_name)}",
    "resource.labels.location=${jsonencode(var.region)}",
  ]
  job_lines = [
    "resource.type=(\"batch.googleapis.com/Job\" OR \"generic_task\")",
    "labels.component=\"${local.labels.component}\"",
    "labels.environment=${jsonencode(var.environment)}",
  ]

  # Machines have the labels of their job's allocationPolicy.
  vms = join(" AND ", [
    "resource.type=\"gce_instance\"",
    "metadata.user_labels.\"component\"=\"${local.labels.component}\"",
    "metadata.user_labels.\"environment\"=\"${var.environment}\"",
  ])
  cpu     = "metric.type=\"compute.googleapis.com/instance/cpu/utilization\" AND ${local.vms}"
  memory  = "metric.type=\"agent.googleapis.com/memory/percent_used\" AND metric.labels.state=\"used\" AND ${local.vms}"
  measure = { for name in keys(local.measures) : name => "metric.type=\"logging.googleapis.com/user/${google_logging_metric.progress[name].name}\" AND resource.type=\"workflows.googleapis.com/Workflow\"" }
  ended   = "metric.type=\"workflows.googleapis.com/finished_execution_count\" AND resource.type=\"workflows.googleapis.com/Workflow\" AND resource.labels.workflow_id=\"${var.workflow_name}\" AND resource.labels.location=\"${var.region}\""

  look_seconds = 360 # longer than the longest pause between two looks, so that every window of a job has one

  # What each tile draws. `first` aggregates one time series or job, `then` all of them.
  charts = { for name, view in local.views : name => concat(
    view.split ? [{
      title = "Executions of the workflow, by how they ended"
      plot  = "STACKED_BAR"
      unit  = "1"
      limit = null
      sets = [{
        filter = local.ended, legend = "$${metric.labels.status}", seconds = 3600
        first  = { align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["metric.labels.status"] }
        then   = null
      }]
    }] : [],
    [
      {
        title = "Tasks of running jobs, by state"
        plot  = "STACKED_AREA"
        unit  = "1"
        limit = null
        sets = [for state in local.task_states : {
          filter = join(" AND ", compact([local.measure["tasks_${state}"], view.jobs])), legend = state, seconds = local.look_seconds
          first  = { align = "ALIGN_DELTA", reduce = "REDUCE_MEAN", by = ["metric.labels.job"] }
          then   = { reduce = "REDUCE_SUM", by = [] }
        }]
      },
      {
        title = "Tasks of jobs that ended, by state"
        plot  = "STACKED_BAR"
        unit  = "1"
        limit = null
        sets = [for state in ["succeeded", "failed", "unexecuted"] : {
          filter = join(" AND ", compact([local.measure["tasks_${state}"], "metric.labels.event=\"stage_end\"", view.jobs])), legend = state, seconds = 3600
          first  = { align = "ALIGN_DELTA", reduce = "REDUCE_MEAN", by = ["metric.labels.job"] } # one look: the last
          then   = { reduce = "REDUCE_SUM", by = [] }
        }]
      },
      {
        title = "Seconds that tasks wait for machines, of the job that waits longest"
        plot  = "LINE"
        unit  = "s"
        limit = var.alert_waiting_seconds
        sets = [{
          filter = join(" AND ", compact([local.measure["waiting_seconds"], view.jobs])), legend = view.split ? "$${metric.labels.stage}" : "longest", seconds = local.look_seconds
          first  = { align = "ALIGN_DELTA", reduce = "REDUCE_MEAN", by = ["metric.labels.job", "metric.labels.stage"] }
          then   = { reduce = "REDUCE_MAX", by = view.split ? ["metric.labels.stage"] : [] }
        }]
      },
      {
        # There is no such metric, but each machine that is on has one time series of its CPU.
        title = "Active VMs"
        plot  = "STACKED_AREA"
        unit  = "1"
        limit = null
        sets = [{
          filter = join(" AND ", compact([local.cpu, view.vms])), legend = view.split ? "$${metadata.user_labels.stage}" : "VMs", seconds = 60
          first  = { align = "ALIGN_MEAN", reduce = "REDUCE_COUNT", by = view.split ? ["metadata.user_labels.\"stage\""] : [] }
          then   = null
        }]
      },
      {
        title = "CPU of the VMs"
        plot  = "LINE"
        unit  = "10^2.%"
        limit = null
        sets = [for legend, reduce in { mean = "REDUCE_MEAN", busiest = "REDUCE_MAX" } : {
          filter = join(" AND ", compact([local.cpu, view.vms])), legend = legend, seconds = 60
          first  = { align = "ALIGN_MEAN", reduce = reduce, by = [] }
          then   = null
        }]
      },
      {
        title = "Memory of the VMs: needs the Ops Agent (INSTALL_OPS_AGENT=${var.install_ops_agent})"
        plot  = "LINE"
        unit  = "%"
        limit = null
        sets = [for legend, reduce in { mean = "REDUCE_MEAN", fullest = "REDUCE_MAX" } : {
          filter = join(" AND ", compact([local.memory, view.vms])), legend = legend, seconds = 60
          first  = { align = "ALIGN_MEAN", reduce = reduce, by = [] }
          then   = null
        }]
      },
    ],
  ) }

  # The charts in the spelling of the service. It omits what is empty or zero, and so does this: otherwise every plan
  # would add it again.
  widgets = { for name, charts in local.charts : name => [for chart in charts : {
    title = chart.title
    xyChart = { for key, value in {
      dataSets = [for set in chart.sets : {
        plotType           = chart.plot
        targetAxis         = "Y1"
        legendTemplate     = set.legend
        minAlignmentPeriod = "${set.seconds}s"
        timeSeriesQuery = {
          unitOverride = chart.unit
          timeSeriesFilter = { for key, value in {
            filter = set.filter
            aggregation = { for key, value in {
              alignmentPeriod    = "${set.seconds}s"
              perSeriesAligner   = set.first.align
              crossSeriesReducer = set.first.reduce
              groupByFields      = length(set.first.by) > 0 ? set.first.by : null
            } : key => value if value != null }
            secondaryAggregation = set.then == null ? null : { for key, value in {
              alignmentPeriod    = "${set.seconds}s"
              perSeriesAligner   = "ALIGN_MEAN" # each window has one value
              crossSeriesReducer = set.then.reduce
              groupByFields      = length(set.then.by) > 0 ? set.then.by : null
            } : key => value if value != null }
          } : key => value if value != null }
        }
      }]
      thresholds   = chart.limit == null ? null : [{ label = "an alert", value = chart.limit }]
      yAxis        = { scale = "LINEAR" }
      chartOptions = { mode = "COLOR" }
    } : key => value if value != null }
  }] }

  # Two charts a row, and below them, as wide as the board, the log.
  columns = 12
  tiles = { for name, view in local.views : name => concat(
    [for index, widget in local.widgets[name] : {
      x = index % 2 * local.columns / 2, y = floor(index / 2) * 4, width = local.columns / 2, height = 4, widget = widget
    }],
    [{
      x = 0, y = ceil(length(local.widgets[name]) / 2) * 4, width = local.columns, height = 5
      widget = {
        title = "Warnings and errors"
        logsPanel = {
          filter = "severity>=WARNING AND (${join(" OR ", [
            "(${join(" AND ", compact(concat(local.workflow_lines, [view.lines.workflow])))})",
            "(${join(" AND ", compact(concat(local.job_lines, [view.lines.job])))})",
          ])})"
        }
      }
    }],
  ) }
}

resource "google_monitoring_dashboard" "boards" {
  for_each = local.views

  dashboard_json = jsonencode({
    displayName = "${var.workflow_name}: ${each.value.title}"
    mosaicLayout = {
      columns = local.columns
      tiles = [for tile in local.tiles[each.key] : { for key, value in {
        xPos   = tile.x > 0 ? tile.x : null
        yPos   = tile.y > 0 ? tile.y : null
        width  = tile.width
        height = tile.height
        widget = tile.widget
      } : key => value if value != null }]
    }
  })

  depends_on = [google_project_service.apis]
}
