"""The section ``engine``: where the tasks of a job are made."""

from __future__ import annotations

from pydantic import Field

from pipelines.config.section import Section


class EngineConfig(Section):
    """Processes of this machine, or a Ray cluster; the parts are the same."""

    name: str = Field(
        default="local",
        pattern=r"^(local|ray(://[^\s/]+)?)$",
        description="local: processes of this machine; ray: the Ray cluster that runs here, or one "
        "that is started for the job; ray://HOST:PORT: the cluster with this head.",
    )
    cpus: int = Field(default=1, ge=1, description="CPUs that a task takes of a Ray cluster.")
    gpus: float | None = Field(
        default=None,
        ge=0,
        description="GPUs that a task takes; default: one where device is cuda.",
    )
    memory: float | None = Field(
        default=None, gt=0, description="GB of memory that a task takes; default: not counted."
    )
