"""The start of a model without any init: a few people in each mediator, the rest susceptible.

It is epydemix's (EpiModel.create_default_initial_conditions, 1.5.0), so that both engines start alike.
"""

from collections import Counter

import numpy as np

from modeling.failures import UserError
from modeling.workload import Flow, ModelPlan

SHARE_OF_MEDIATORS = 0.0005  # of the people of each age group, in all mediators together


def default_start(plan: ModelPlan) -> np.ndarray:
    """Return the people in each compartment, int, shape (compartments, groups).

    The mediators share SHARE_OF_MEDIATORS of each age group, and the compartments in which an infection
    begins share the rest. People lost by rounding down are in the largest compartment.

    Raises
    ------
    UserError
        Without a mediated transition nothing says who is infectious.
    """
    mediated = [flow for flow in plan.flows if flow.mediator is not None]
    if not mediated:
        raise UserError(
            "no compartment has an init, and no mediated transition says who starts infectious; "
            "give the compartments an init"
        )
    mediators = list(dict.fromkeys(flow.mediator for flow in mediated))
    sources = _entrances(plan.flows, mediated)
    sizes = np.asarray(plan.sizes, dtype=np.int64)
    few = (sizes * SHARE_OF_MEDIATORS).astype(np.int64) // len(mediators)
    # a mediator that is a source, too, has the share of a source
    placed = dict.fromkeys(mediators, few) | dict.fromkeys(
        sources, (sizes - few * len(mediators)) // len(sources)
    )
    largest = max(placed, key=lambda compartment: placed[compartment].sum())
    placed[largest] = placed[largest] + sizes - sum(placed.values())
    return np.stack([placed.get(compartment, np.zeros_like(sizes)) for compartment in plan.compartments])


def _entrances(flows: list[Flow], mediated: list[Flow]) -> list[str]:
    """Return the sources of infection that nobody enters; without one, those most like susceptible people.

    Those are the sources of the most mediated transitions. Where there are several, the ones that no
    infection leads to are preferred, then the ones that none of the others leads to.
    """
    entered = {flow.target for flow in flows}
    sources = dict.fromkeys(flow.source for flow in mediated)
    untouched = [source for source in sources if source not in entered]
    if untouched:
        return untouched
    counts = Counter(flow.source for flow in mediated)
    likely = [source for source in sources if counts[source] == max(counts.values())]
    infected = {flow.target for flow in mediated}
    likely = [source for source in likely if source not in infected] or likely
    fed = {flow.target for flow in flows if flow.source in likely and flow.source != flow.target}
    return [source for source in likely if source not in fed] or likely
