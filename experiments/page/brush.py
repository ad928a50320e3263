"""An image that pixels are painted away from, with the mouse, a pen or a finger."""

from __future__ import annotations

import numpy as np
from nicegui.element import Element
from nicegui.events import GenericEventArguments
from PIL import Image

from experiments.page.sheet import source


class Brush(Element, component="brush.js"):
    """The image on the page, and `unknown` [H, W, 1]: true where it was painted over."""

    def __init__(self, height: int, width: int):
        super().__init__()
        self.unknown = np.zeros((height, width, 1), bool)
        self.props.update(width=width, height=height, radius=1.0, src="")
        self.on("stroke", self._stroke)

    def show(self, image: Image.Image) -> None:
        """Shows another image, all of it known."""
        self.props["src"] = source(image)
        self.clear_paint()

    def clear_paint(self) -> None:
        """Makes all of the image known again."""
        self.unknown[:] = False
        self.run_method("clear")

    def resize(self, radius: float) -> None:
        """Gives the brush another radius, in pixels of the image."""
        self.props["radius"] = min(max(float(radius), 0.1), 64.0)

    def _stroke(self, event: GenericEventArguments) -> None:
        """Marks the pixels of a stroke, numbered row by row. Anybody can send them: numbers of no pixel are left out."""
        cells = event.args if isinstance(event.args, list) else []
        size = self.unknown.size
        self.unknown.flat[[cell for cell in cells[:size] if type(cell) is int and 0 <= cell < size]] = True
