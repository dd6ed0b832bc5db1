# The trigger, last of all: an upload starts the workflow, so everything that a run needs is there before.

# Right after they are given, rights are not known everywhere, and Eventarc refuses a trigger without them.
resource "time_sleep" "rights_are_known" {
  create_duration = "90s"

  triggers = { for name, right in google_project_iam_member.lane : name => right.member }
}

resource "google_eventarc_trigger" "upload" {
  name            = "${local.stem}-upload"
  location        = var.region # of the bucket
  service_account = local.emails.trigger
  labels          = local.labels

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.storage.object.v1.finalized"
  }
  matching_criteria {
    attribute = "bucket"
    value     = google_storage_bucket.lane["input"].name
  }
  destination {
    workflow = google_workflows_workflow.lane.id
  }

  depends_on = [time_sleep.rights_are_known]
}
