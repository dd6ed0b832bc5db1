# What several settings allow together; what one allows is in settings.tf, since a validation sees one variable only.
# ops/gpu/rules.py refuses the same in the same sentences, with the names of the settings; a test compares the two.

locals {
  gpu_regions = jsondecode(file("${path.module}/gpu_regions.json"))

  # Least and most GiB of an instance, by its CPUs: https://cloud.google.com/run/docs/configuring/services/memory-limits
  memory_gib = {
    1 = [1, 4], 2 = [1, 8], 4 = [2, 16], 6 = [4, 24], 8 = [4, 32], 20 = [80, 80], 22 = [80, 88]
  }
  cpus      = { "nvidia-l4" = [4, 6, 8], "nvidia-rtx-pro-6000" = [20, 22], "none" = [1, 2, 4, 6, 8] }[var.gpu_type]
  least_gib = { "nvidia-l4" = 16, "nvidia-rtx-pro-6000" = 80, "none" = 1 }[var.gpu_type]

  # Each memory, its CPUs, and the least and most GiB with them.
  memories = merge(
    { for name, memory in { PREPROCESS_MEMORY = var.preprocess_memory, POSTPROCESS_MEMORY = var.postprocess_memory } :
      name => { memory = memory, cpu = 1, least = local.memory_gib[1][0], most = local.memory_gib[1][1] }
    },
    { for name, memory in { GPU_MEMORY = var.gpu_memory } :
      name => { memory = memory, cpu = var.gpu_cpu, least = max(local.memory_gib[var.gpu_cpu][0], local.least_gib), most = local.memory_gib[var.gpu_cpu][1] }
      if contains(local.cpus, var.gpu_cpu)
    },
  )

  mistakes = concat(
    contains(local.cpus, var.gpu_cpu) ? [] : [
      "GPU_CPU=${var.gpu_cpu}: an instance ${var.gpu_type == "none" ? "without a GPU" : "with an ${var.gpu_type}"} has ${join(", ", slice(local.cpus, 0, length(local.cpus) - 1))} or ${local.cpus[length(local.cpus) - 1]} CPUs; set GPU_CPU to one of them"
    ],
    [for name, each in local.memories :
      "${name}=${each.memory}: an instance with ${each.cpu == 1 ? "1 CPU" : "${each.cpu} CPUs"} has ${each.least == each.most ? "" : "${each.least}Gi to "}${each.most}Gi; set ${name} to that"
      if tonumber(trimsuffix(each.memory, "Gi")) < each.least || tonumber(trimsuffix(each.memory, "Gi")) > each.most
    ],
    [for regions in [lookup(local.gpu_regions, var.gpu_type, [])] :
      "REGION=${var.region}: Cloud Run has no ${var.gpu_type} there; set REGION to one of ${join(", ", regions)}"
      if var.gpu_type != "none" && !contains(regions, var.region)
    ],
    [for place in [join("-", slice(split("-", "${var.zone}---"), 0, 2))] :
      "ZONE=${var.zone}: it is not a zone of ${var.region}; leave ZONE out, or set REGION to ${place}"
      if var.zone != "" && place != var.region
    ],
    (var.network == "") == (var.subnetwork == "") ? [] : [
      "${var.network != "" ? "GPU_NETWORK" : "GPU_SUBNETWORK"} is set and ${var.network != "" ? "GPU_SUBNETWORK" : "GPU_NETWORK"} is not: set both, or neither"
    ],
    var.min_instances == 0 || var.accept_idle_cost ? [] : [
      "MIN_INSTANCES=${var.min_instances}: instances that do nothing cost money, day and night; set MIN_INSTANCES to 0, or ACCEPT_IDLE_COST to true"
    ],
    var.min_instances <= var.gpu_max_instances ? [] : [
      "MIN_INSTANCES=${var.min_instances} is more than GPU_MAX_INSTANCES=${var.gpu_max_instances}; set MIN_INSTANCES to that at most"
    ],
    var.monthly_budget_usd == 0 || var.billing_account != "" ? [] : [
      "MONTHLY_BUDGET_USD=${var.monthly_budget_usd}: a budget belongs to a billing account; set BILLING_ACCOUNT"
    ],
    var.results_retention_days == 0 || var.results_nearline_days < var.results_retention_days ? [] : [
      "RESULTS_NEARLINE_DAYS=${var.results_nearline_days}: results are deleted after ${var.results_retention_days} days already; set RESULTS_NEARLINE_DAYS to fewer, or to 0"
    ],
    var.gpu_type == "none" || var.gpu_max_instances <= var.gpu_quota ? [] : [
      "GPU_MAX_INSTANCES=${var.gpu_max_instances}: the project may use ${var.gpu_quota} ${var.gpu_type} in ${var.region}; set ${var.gpu_quota > 0 ? "GPU_MAX_INSTANCES to that at most" : "GPU_TYPE to none"}, or ask for more: https://g.co/cloudrun/gpu-quota, and set GPU_QUOTA to what is granted"
    ],
  )
}
