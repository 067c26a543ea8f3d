"""What of a driver's form memory integrity (HVCI) does not allow.

Microsoft, "Implement memory integrity compatible code": no section both writable and executable,
and sections aligned to pages. Other demands of that page are about what code does, and cannot be
seen in headers. Whether one such section always keeps a driver out no document says (drivers of old
kits have a discardable one), so that it makes "yes" unknown and never "no"; and only where memory
integrity is known to be on.
"""

from __future__ import annotations

from signing.image import PAGE, Image
from signing.kernel import Kernel


def doubt(image: Image, kernel: Kernel) -> str:
    """Why that kernel may refuse a driver of this form, as a clause; "" where nothing says so."""
    if not kernel.hvci:
        return ""
    if image.writable_code:
        form = f"its section {image.writable_code} is both writable and executable"
    elif image.section_alignment % PAGE:
        form = f"its sections are aligned to {image.section_alignment} bytes and not to pages"
    else:
        return ""
    return f"memory integrity is on, and {form}"
