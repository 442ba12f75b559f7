"""Sound cards as a kernel shows them: a built-in one and three USB microphones."""

from __future__ import annotations

CARDS = """\
 0 [PCH            ]: HDA-Intel - HDA Intel PCH
                      HDA Intel PCH at 0xf7210000 irq 34
 1 [Device         ]: USB-Audio - USB Audio Device
                      C-Media Electronics Inc. USB Audio Device at usb-0000:00:14.0-2, full speed
 2 [Device_1       ]: USB-Audio - USB Audio Device
                      Acme Measurement Mic at usb-0000:00:14.0-3.1, full speed
 3 [UMIK           ]: USB-Audio - UMIK-1
                      miniDSP UMIK-1 at usb-0000:00:14.0-3.2, high speed
"""
PCI = "devices/pci0000:00/0000:00:14.0"
USB = {
    1: ("1-2", "0d8c", "0014", ""),
    2: ("1-3/1-3.1", "0d8c", "0014", ""),
    3: ("1-3/1-3.2", "2752", "0007", "7103 944"),
}


def write_cards(folder, cards=CARDS, usb=None):
    """Write the trees below a folder; returns what stands for /proc/asound and /sys."""
    proc, sysfs = folder / "proc", folder / "sys"
    proc.mkdir(parents=True)
    (proc / "cards").write_text(cards)
    sound = sysfs / "class/sound"
    sound.mkdir(parents=True)
    builtin = sysfs / "devices/pci0000:00/0000:00:1f.3"
    builtin.mkdir(parents=True)
    _link(sound, 0, builtin)
    for number, (path, vendor, product, serial) in (USB if usb is None else usb).items():
        device = sysfs / PCI / "usb1" / path
        interface = device / f"{device.name}:1.0"
        interface.mkdir(parents=True)
        (device / "idVendor").write_text(f"{vendor}\n")
        (device / "idProduct").write_text(f"{product}\n")
        if serial:
            (device / "serial").write_text(f"{serial}\n")
        _link(sound, number, interface)
    return proc, sysfs


def _link(sound, number, target):
    card = sound / f"card{number}"
    card.mkdir()
    (card / "device").symlink_to(target)
