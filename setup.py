"""The one thing that pyproject.toml cannot say: an extension that may fail to build.

Without a C compiler or OpenSSL's headers the package is the same, but sends WebRTC packets from Python.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "relay._fanout",
            sources=["relay/_fanout.c", "relay/_inbox.c", "relay/_stun.c"],
            libraries=["crypto"],
            extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers"],
            optional=True,
        )
    ]
)
