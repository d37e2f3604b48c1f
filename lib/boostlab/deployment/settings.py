"""Settings of ``deploy.ipynb``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from boostlab.registry.settings import Versioned

Builder = Literal["mlflow", "lean"]
IMAGE_NAME = r"^$|^[a-z0-9]+([._/-]+[a-z0-9]+)*$"
REGISTRY_ADDRESS = r"^$|^[\w.-]+(:\d+)?(/[\w./-]+)?$"
PLATFORM = r"^$|^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$"
INDEX_ARGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
PROXY_ARGS = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class Deploy(Versioned):
    """The parameters of ``deploy.ipynb``."""

    builder: Builder
    build: bool
    output: Literal["image", "context", "process"]
    folder: str
    image: Annotated[str, Field(pattern=IMAGE_NAME, description="small letters, digits, . _ - /")]
    build_args: dict[str, str] = Field(default_factory=dict)
    platform: Annotated[str, Field(pattern=PLATFORM, description="OS/ARCHITECTURE, such as linux/arm64")] = ""
    base_image: Annotated[str, Field(pattern=r"^\S*$", description="an image's name")]
    push_to: Annotated[str, Field(pattern=REGISTRY_ADDRESS, description="HOST or HOST:PORT")]
    keep: bool
    port: Annotated[int, Field(ge=0, le=65535)]
    trust_code: bool = False

    @field_validator("build_args")
    @classmethod
    def _holds_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if name not in INDEX_ARGS + PROXY_ARGS:
                raise ValueError(f"{name} is not a build argument. Allowed: {', '.join(INDEX_ARGS + PROXY_ARGS)}.")
            if name in INDEX_ARGS and "@" in text:
                raise ValueError(f"{name} holds a password, which would stay in the engine. Use an index that needs none.")
        return value

    @model_validator(mode="after")
    def _output_fits(self) -> Self:
        if self.output != "image" and (self.keep or self.push_to or not self.build):
            raise ValueError(f"output {self.output} makes no image: omit keep, push_to and build.")
        if self.trust_code and self.builder == "lean":
            raise ValueError("trust_code is for the builder mlflow: the lean server runs no code of the model. Omit one of them.")
        return self
