"""What is asked of a network that only some networks can do."""

from diffbgm.errors import InputError
from diffbgm.generation.form import FREE
from diffbgm.generation.settings import PLAN, ComposeSettings
from diffbgm.models.network import DiffBGM


def check_supported(asked: ComposeSettings, form: str, network: DiffBGM) -> None:
    """Raise InputError if the network cannot do what is asked, with the defaults of its checkpoint not filled in yet.

    `form` is the one that the music will have, a default included.
    """
    if form != FREE and not network.theme_condition:
        raise InputError(f"form={form} needs a network with theme_condition, which this is not; give form={FREE}")
    for name in ("harmony", "rhythm"):
        if getattr(asked, name) == PLAN and not network.theme_condition:
            raise InputError(f"{name}={PLAN} needs a network with theme_condition, which this is not; leave it out")
    if asked.reprise is not None and not network.reference_condition:
        raise InputError(f"reprise={asked.reprise:g} needs a network with reference_condition; leave it out")
    if asked.voices is not None and network.planes != 4:
        raise InputError("voices= needs a network with lead and accompaniment, which this is not; leave it out")
    if asked.couplings.lead and network.planes != 4:
        raise InputError("couplings of the lead need a network with lead and accompaniment; leave them out")
