"""``edge-asd demo``: the whole job on one computer without any hardware.

A simulated pump is what the real daemon, a child process, listens to; an MQTT broker lives in a
thread of this process; a subscriber of its own shows what arrives. Nothing of what is shown is
scripted: the story knows when the simulation breaks the pump and when it repairs it, and judges
what the daemon made of that.
"""
