"""An actor-model resource supervisor for asyncio."""

from __future__ import annotations

import logging
from importlib.metadata import version

from pepperpy_resources.actors.actor import Actor, handles
from pepperpy_resources.actors.handle import ActorHandle
from pepperpy_resources.actors.reply import Reply
from pepperpy_resources.child_spec import ChildSpec
from pepperpy_resources.core.kinship import Restart, Strategy
from pepperpy_resources.core.policy import Backoff, Budget, Intensity
from pepperpy_resources.decorators import managed_resource
from pepperpy_resources.default import DefaultResourceManager
from pepperpy_resources.leasing import ResourceHandle
from pepperpy_resources.manager import ResourceManager
from pepperpy_resources.observe.events import ResourceEvent, Subscription
from pepperpy_resources.observe.prometheus import ResourceMetrics
from pepperpy_resources.record import Record
from pepperpy_resources.spec import ResourceSpec, resource_spec
from pepperpy_resources.spec_file import load_specs
from pepperpy_resources.supervisor import Supervisor

__all__ = [
    "Actor",
    "ActorHandle",
    "Backoff",
    "Budget",
    "ChildSpec",
    "DefaultResourceManager",
    "Intensity",
    "Record",
    "Reply",
    "ResourceEvent",
    "ResourceHandle",
    "ResourceManager",
    "ResourceMetrics",
    "ResourceSpec",
    "Restart",
    "Strategy",
    "Subscription",
    "Supervisor",
    "handles",
    "load_specs",
    "managed_resource",
    "resource_spec",
]

# Silent unless the program configures logging: stderr is the program's, not ours.
logging.getLogger("pepperpy_resources").addHandler(logging.NullHandler())

__version__ = version("pepperpy-resources")
