# An account for each service, one for the workflow and one for the trigger, each with only what it needs.
# ops/gpu/rights.py gives the same rights; a test compares the two.

locals {
  accounts = { # an account's id has at most 30 characters: a prefix of 18, the digits, and an ending of 4
    preprocess  = "pre"
    inference   = "gpu"
    postprocess = "post"
    workflow    = "wf"
    trigger     = "ev"
  }

  # Strings, not attributes of the accounts, so that a plan shows them before the accounts exist.
  emails  = { for name, ending in local.accounts : name => "${local.stem}-${ending}@${var.project_id}.iam.gserviceaccount.com" }
  members = { for name, email in local.emails : name => "serviceAccount:${email}" }
}

resource "google_service_account" "lane" {
  for_each = local.accounts

  account_id   = "${local.stem}-${each.value}"
  display_name = "GPU lane: ${each.key}"
  depends_on   = [google_project_service.apis]
}

# Eventarc's own account, which otherwise appears with the first trigger and has no rights yet when that is made.
resource "google_project_service_identity" "eventarc" {
  provider = google-beta

  service    = "eventarc.googleapis.com"
  depends_on = [google_project_service.apis]
}

# In the project

resource "google_project_iam_member" "lane" {
  for_each = {
    "workflow logging.logWriter"     = local.members.workflow
    "workflow workflows.viewer"      = local.members.workflow # whether the holder of a claim is at work
    "trigger eventarc.eventReceiver" = local.members.trigger
    "trigger workflows.invoker"      = local.members.trigger
  }

  project    = var.project_id
  role       = "roles/${split(" ", each.key)[1]}"
  member     = each.value
  depends_on = [google_service_account.lane]
}

# Google's own accounts in the project are everybody's: without their rights, no trigger of the project works. The
# condition is always true and makes this right the deployment's own, so that a destroy takes it from nobody else.
resource "google_project_iam_member" "agents" {
  for_each = {
    "storage pubsub.publisher"       = "serviceAccount:${data.google_storage_project_service_account.events.email_address}"
    "eventarc eventarc.serviceAgent" = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-eventarc.iam.gserviceaccount.com"
  }

  project = var.project_id
  role    = "roles/${split(" ", each.key)[1]}"
  member  = each.value

  condition {
    title      = local.stem
    expression = "request.time > timestamp(\"2020-01-01T00:00:00Z\")"
  }
  depends_on = [google_project_service_identity.eventarc]
}

# On buckets: an account reaches only the folders that it needs

locals {
  bucket_grants = [
    { role = "objectViewer", bucket = "input", names = "", accounts = ["preprocess"] },
    { role = "objectViewer", bucket = "models", names = "", accounts = ["preprocess", "inference"] },
    { role = "objectUser", bucket = "output", names = "work/*", accounts = ["preprocess", "inference"] },
    { role = "objectViewer", bucket = "output", names = "work/*", accounts = ["postprocess"] },
    # Without the right to list, a missing object is answered with 403, not 404. No condition on names applies to it.
    { role = "legacyBucketReader", bucket = "output", names = "", accounts = keys(local.services) },
    { role = "objectViewer", bucket = "output", names = "results/*", accounts = ["preprocess"] }, # is a result there?
    { role = "objectUser", bucket = "output", names = "results/*", accounts = ["postprocess"] },
    { role = "objectUser", bucket = "output", names = "work/*/claim.json", accounts = ["workflow"] },
  ]

  bucket_rights = merge([
    for grant in local.bucket_grants : {
      for account in grant.accounts : "${account} ${grant.role} ${grant.bucket}/${grant.names}" => merge(grant, {
        account = account
        # of work/*/claim.json: begins with work/, ends with /claim.json
        tests = grant.names == "" ? [] : concat(
          ["resource.name.startsWith(\"projects/_/buckets/${local.buckets[grant.bucket]}/objects/${split("*", grant.names)[0]}\")"],
          [for ending in compact([split("*", grant.names)[1]]) : "resource.name.endsWith(\"${ending}\")"],
        )
      })
    }
  ]...)
}

resource "google_storage_bucket_iam_member" "lane" {
  for_each = local.bucket_rights

  bucket = google_storage_bucket.lane[each.value.bucket].name
  role   = "roles/storage.${each.value.role}"
  member = local.members[each.value.account]

  dynamic "condition" {
    for_each = length(each.value.tests) > 0 ? [each.value.tests] : []
    content {
      title      = each.value.names
      expression = join(" && ", condition.value)
    }
  }
  depends_on = [google_service_account.lane]
}

# The workflow alone calls the services, and only these.
resource "google_cloud_run_v2_service_iam_member" "workflow_calls" {
  for_each = local.services

  project    = var.project_id
  location   = var.region
  name       = google_cloud_run_v2_service.lane[each.key].name
  role       = "roles/run.invoker"
  member     = local.members.workflow
  depends_on = [google_service_account.lane]
}
