"""Is there an NVIDIA GPU, asked of the driver itself; and kernels for tests to run on it."""

from __future__ import annotations

import ctypes

# Doubles every value, in a grid of any size that covers them.
DOUBLE = b"""
.version 7.0
.target sm_75
.address_size 64
.visible .entry twice(.param .u64 data, .param .u32 count)
{
    .reg .pred %p;
    .reg .f32 %f;
    .reg .b32 %r<6>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [data];
    ld.param.u32 %r1, [count];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p, %r5, %r1;
    @%p bra DONE;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r5, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.f32 %f, [%rd4];
    add.f32 %f, %f, %f;
    st.global.f32 [%rd4], %f;
DONE:
    ret;
}
\0"""

# Runs until the host writes something else than zero where it looks.
SPIN = b"""
.version 7.0
.target sm_75
.address_size 64
.visible .entry spin(.param .u64 flag)
{
    .reg .pred %p;
    .reg .b32 %r;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [flag];
    cvta.to.global.u64 %rd2, %rd1;
AGAIN:
    ld.volatile.global.u32 %r, [%rd2];
    setp.eq.u32 %p, %r, 0;
    @%p bra AGAIN;
    ret;
}
\0"""


def why_no_gpu():
    """Why no test can run on a GPU here; empty where one can."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1)"
    status = driver.cuInit(0)
    if status != 0:
        return f"the NVIDIA driver finds no GPU (cuInit gives {status})"
    count = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    return "" if count.value else "the NVIDIA driver finds no GPU"


def driver_major():
    """Major version of the newest CUDA that the driver speaks."""
    version = ctypes.c_int(0)
    ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    return version.value // 1000


def launcher(cuda, image):
    """Load the one kernel of an image; returns what enqueues it on a stream."""
    name = image.split(b".entry ")[1].split(b"(")[0]
    module = cuda("cuModuleLoadData", image)
    function = cuda("cuModuleGetFunction", module, name)

    def launch(stream, *arguments, blocks=1, threads=32):
        kinds = [ctypes.c_ulonglong, ctypes.c_uint][: len(arguments)]  # an address, a count
        values = (tuple(arguments), tuple(kinds))
        handle = stream.handle
        cuda("cuLaunchKernel", function, blocks, 1, 1, threads, 1, 1, 0, handle, values, 0)

    launch.module = module  # unloaded when nobody holds it
    return launch
