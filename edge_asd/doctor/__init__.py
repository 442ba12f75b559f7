"""What is wrong with an installation, and what to do about it; nothing here changes anything.

``configuration`` looks at the operator's file without opening anything, for ``edge-asd check`` and
before a reload; `diagnosis` adds the machine, the runtime, the broker and the daemon.
"""
