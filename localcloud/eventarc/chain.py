"""The accounts that pass an event on: Storage's, Eventarc's, Pub/Sub's, and that of the trigger.

The bucket's notification publishes as Storage's account, the subscription is Eventarc's, Pub/Sub's account
gets the token of the trigger's account, and that one receives the event and starts the workflow:
https://cloud.google.com/eventarc/standard/docs/workflows/roles-permissions. What the first two may do is
checked when a trigger is made. It is not documented which permissions Eventarc checks then: here those to
make a topic, a subscription and the notification of the bucket. Pub/Sub's account can get tokens by the role
that Google gives it (rights/automatic.py), unless it is of April 8, 2021 or before.
"""

from dataclasses import dataclass

from localcloud.iam import EVENTARC_AGENT, PUBSUB_AGENT, STORAGE_AGENT, agent_email
from localcloud.messages import ApiError
from localcloud.rights.actors import Actors
from localcloud.rights.resources import account_name, bucket_name

PUBLISH = "pubsub.topics.publish"


@dataclass(frozen=True)
class Chain:
    """Asks whether each account has its permissions."""

    actors: Actors

    def check_trigger(self, project: str, bucket: str) -> None:
        """Refuse a trigger whose events could not be published.

        Eventarc's words about its own agent are documented, those about Storage's are as users quote them:
        https://cloud.google.com/eventarc/docs/troubleshooting#trigger-error

        Raises
        ------
        ApiError
            400 with FAILED_PRECONDITION
        """
        storage = self.actors.as_(agent_email(STORAGE_AGENT))
        if why := storage.why_not(PUBLISH, f"projects/{project}"):
            raise _unfit(
                "The Cloud Storage service account for your bucket is unable to publish to Cloud Pub/Sub "
                f"topics in the specified project: it requires roles/pubsub.publisher there. {why}"
            )
        eventarc = self.actors.as_(agent_email(EVENTARC_AGENT))
        asked = {
            "pubsub.topics.create": f"projects/{project}",
            "pubsub.subscriptions.create": f"projects/{project}",
            "storage.buckets.update": bucket_name(bucket),
        }
        whys = [why for each in asked.items() if (why := eventarc.why_not(*each))]
        if whys:
            raise _unfit(
                "Permission denied while using the Eventarc Service Agent. If you recently started to use "
                "Eventarc, it may take a few minutes before all necessary permissions are propagated to the "
                f"Service Agent. Otherwise, verify that it has Eventarc Service Agent role. {whys[0]}"
            )

    def ask_for_event(self, project: str, account: str, workflow_project: str) -> None:
        """Refuse an event that one of the accounts may not pass on to a workflow.

        Raises
        ------
        ApiError
            403, or 401 if an account is gone.
        """
        self.actors.as_(agent_email(STORAGE_AGENT)).ask(PUBLISH, f"projects/{project}")
        pubsub = self.actors.as_(agent_email(PUBSUB_AGENT))
        pubsub.ask("iam.serviceAccounts.getOpenIdToken", account_name(account, project))
        trigger = self.actors.as_(account)
        trigger.ask("eventarc.events.receiveEvent", f"projects/{project}")
        trigger.ask("workflows.executions.create", f"projects/{workflow_project}")


def _unfit(reason: str) -> ApiError:
    return ApiError(400, f'Invalid resource state for "": {reason}', status="FAILED_PRECONDITION")
