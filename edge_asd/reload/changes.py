"""What a reload changes: two configurations held against each other."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asd.config import Config


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reload did."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    """Monitors that began anew, with their profile and their open alert."""
    kept: tuple[str, ...]
    """Monitors that did not miss anything."""
    sections: tuple[str, ...]
    """Other sections that changed."""
    serving: str = ""
    """What scores now, and what did before; empty where that is the same."""
    relearned: tuple[str, ...] = ()
    """Monitors that were learned again, because another bundle scores."""

    @classmethod
    def between(cls, before: Config, after: Config) -> Changes:
        """What is different in the operator's file."""
        old = {section.name: section for section in before.monitors}
        new = {section.name: section for section in after.monitors}
        return cls(
            added=tuple(name for name in new if name not in old),
            removed=tuple(name for name in old if name not in new),
            changed=tuple(n for n in new if n in old and old[n] != new[n]),
            kept=tuple(name for name in new if old.get(name) == new[name]),
            sections=tuple(
                name
                for name in type(after).model_fields
                if name != "monitors" and getattr(after, name) != getattr(before, name)
            ),
        )

    @property
    def any(self) -> bool:
        """Whether anything is different."""
        different = self.added or self.removed or self.changed or self.sections or self.serving
        return bool(different)
