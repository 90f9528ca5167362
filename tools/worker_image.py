"""Build the example's worker image, from the test base image where no image registry answers."""

from __future__ import annotations

import sys
from contextlib import closing

import base_image
import machine

IMAGE = "sum-of-powers:v1"


def main() -> None:
    """Build the image; the daemon's cache makes a second time quick."""
    with closing(machine.connect(timeout=600)) as client:
        arguments = {"BASE_IMAGE": machine.PUBLIC_IMAGE}
        if not machine.registry_answers():
            base_image.ensure(client)
            arguments["BASE_IMAGE"] = base_image.IMAGE
        machine.say(f"building {IMAGE} from {arguments['BASE_IMAGE']}")
        context = machine.ROOT / "examples" / "sum_of_powers"
        machine.build(client, IMAGE, path=str(context), buildargs=arguments)


if __name__ == "__main__":
    try:
        main()
    except (machine.SetupError, *machine.DOCKER_ERRORS) as error:
        sys.exit(f"worker image: {error}")
