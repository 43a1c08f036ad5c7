# SPDX-License-Identifier: MIT
"""The judge of the crash tests sees each kind of damage to its books."""
import judge

judge.self_test()
