#!/bin/sh
# Runs a test program.  ThreadSanitizer's shadow memory does not fit beside
# the address layout that newer kernels choose at random: without it, it does.
TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 ${TSAN_OPTIONS:-}"
ASAN_OPTIONS="detect_leaks=1 ${ASAN_OPTIONS:-}"
UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1 ${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS ASAN_OPTIONS UBSAN_OPTIONS
if setarch -R true 2>/dev/null; then
    exec setarch -R "$@"
fi
exec "$@"
