"""Factories and hooks of every kind, for the tests of `ResourceSpec`."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from pepperpy_resources.spec import ResourceSpec


async def connect(dsn: str = "") -> str:
    return dsn


def make(dsn: str = "") -> str:
    return dsn


async def async_generator() -> AsyncGenerator[str, None]:
    yield ""


def generator() -> Generator[str, None, None]:
    yield ""


async_context = asynccontextmanager(async_generator)
context = contextmanager(generator)


def hook(resource: object) -> bool:
    return resource is not None


async def async_hook(resource: object) -> bool:
    return resource is not None


class CallableHook:
    def __call__(self, resource: object) -> bool:
        return resource is not None


class AsyncCallableHook:
    async def __call__(self, resource: object) -> bool:
        return resource is not None


class Broken:
    """Iterating it fails."""

    def __iter__(self) -> Any:
        raise OSError("secret")


def build(**fields: Any) -> ResourceSpec[Any]:
    return ResourceSpec(**{"name": "db", "factory": connect, **fields})
