"""What the settings need: their tasks, topics and models, by name, and whether the world has them."""

from collections.abc import Mapping

from inferstream import tasks
from inferstream.errors import ContractMismatch, SettingsError
from inferstream.inprocess import Student
from inferstream.kafka import Admin, of_service
from inferstream.pipeline.streams import refuse_settings
from inferstream.settings import PipelineSettings, Settings
from inferstream.tasks import Task
from inferstream.tasks.streaming import StreamingTask


def load_tasks(settings: Settings) -> dict[str, Task]:
    """The task of each pipeline. Raises SettingsError."""
    loaded = {name: tasks.load(p.task or name, p.options) for name, p in settings.pipelines.items()}
    for name, task in loaded.items():
        if isinstance(task, StreamingTask):
            refuse_settings(name, settings.pipelines[name])
        elif settings.pipelines[name].answer_objectives:
            raise SettingsError(
                f"pipelines.{name}: first_answer_ms and next_answer_ms are of tasks whose model streams; leave them out"
            )
    return loaded


def load_student(pipeline: PipelineSettings, task: Task) -> Student | None:
    """The student a pipeline names, else the task's; None where there is none."""
    name = pipeline.student or task.student
    return None if name is None or name == "none" else Student(name, task)


def models_on_triton(settings: Settings, pipeline: str, task: Task) -> dict[str, tuple[str, str]]:
    """Name and version of the pipeline's model, and of those beside it, by role. Raises SettingsError."""
    chosen = settings.pipelines[pipeline]
    own = (chosen.model or task.model, chosen.model_version)
    if not own[0]:
        raise SettingsError(f"pipelines.{pipeline}.model: name the model on Triton; its task has none of its own")
    found = {"model": own}
    beside = {
        "fallback": ("fallback_model", chosen.fallback_model),
        "canary": ("canary.model", chosen.canary.model),
        "shadow": ("shadow.model", chosen.shadow.model),
    }
    for role, (key, given) in beside.items():
        if given is None:
            continue
        name, _, version = given.partition(":")
        if (name, version) == own:
            raise SettingsError(
                f"pipelines.{pipeline}.{key}: '{given}' is the model itself; "
                "name another model, or another version as `name:version`"
            )
        found[role] = (name, version)
    return found


def refuse_an_unnamed_version(pipeline: str, asked: Mapping[str, tuple[str, str]], version: str) -> None:
    """Raise SettingsError where calls that name no version would go to the newest one, which is to be tried first."""
    for role in ("canary", "shadow"):
        if not version and role in asked and asked[role][0] == asked["model"][0]:
            raise SettingsError(
                f"pipelines.{pipeline}.{role}.model: it is a version of the model itself, so say which one answers: "
                f"set pipelines.{pipeline}.model_version, or pin one with `inferstream models switch`"
            )


def topics_of(pipeline: PipelineSettings) -> dict[str, str]:
    """Every topic of a pipeline, by role."""
    topics = {
        "input": pipeline.input_topic,
        "output": pipeline.output_topic,
        "dead letter": pipeline.dead_letter_topic,
    }
    return topics if pipeline.shadow.model is None else {**topics, "shadow": pipeline.shadow.topic}


async def check_rights(settings: Settings, admin: Admin) -> None:
    """Raise ContractMismatch naming every right that a broker with ACLs does not give us, but the service needs."""
    if missing := await admin.lacking(acl for acl in of_service(settings) if acl.is_needed):
        raise ContractMismatch(
            f"the broker does not allow it: grant {', '.join(map(str, missing))}; `inferstream acls` prints all of them"
        )


def check_topics(settings: Settings, partitions: Mapping[str, int]) -> None:
    """Raise ContractMismatch naming every topic that is missing or has too few partitions."""
    wrong = []
    for name, p in settings.pipelines.items():
        for role, topic in topics_of(p).items():
            if topic not in partitions:
                wrong.append(f"{role} topic '{topic}' of pipeline '{name}' does not exist: create it")
        needed, given = partitions.get(p.input_topic, 0), partitions.get(p.output_topic, 0)
        if given and given < needed:
            wrong.append(
                f"output topic '{p.output_topic}' has {given} partitions, input topic '{p.input_topic}' has {needed}; "
                "outcomes keep their partition number, so give it at least as many"
            )
    if wrong:
        raise ContractMismatch("; ".join(wrong))
