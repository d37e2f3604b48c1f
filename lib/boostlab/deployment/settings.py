"""Settings of ``deploy.ipynb``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from boostlab.registry.settings import Versioned


class Deploy(Versioned):
    """The parameters of ``deploy.ipynb``."""

    builder: Literal["mlflow", "lean"]
    build: bool
    output: Literal["image", "context", "process"]
    folder: str
    image: Annotated[str, Field(pattern=r"^$|^[a-z0-9]+([._/-]+[a-z0-9]+)*$", description="small letters, digits, . _ - /")]
    base_image: Annotated[str, Field(pattern=r"^\S*$", description="an image's name")]
    registry: Annotated[str, Field(pattern=r"^$|^[\w.-]+(:\d+)?(/[\w./-]+)?$", description="HOST or HOST:PORT")]
    keep: bool
    port: Annotated[int, Field(ge=0, le=65535)]

    @model_validator(mode="after")
    def _only_images_are_kept_and_pushed(self) -> Self:
        if self.output != "image" and (self.keep or self.registry or not self.build):
            raise ValueError(f"output {self.output} makes no image: leave keep, registry and build out.")
        return self
