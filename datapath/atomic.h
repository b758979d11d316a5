/* C11's atomic operations, whatever the compiler.
 *
 * Under gcc, Open vSwitch's "ovs-atomic.h" is <stdatomic.h> and more.  Under
 * clang it defines the same types and orders by itself, which rules
 * <stdatomic.h> out, and wraps only the operations that it has a name of its
 * own for.  The others, which return a value, are added here. */
#ifndef ATOMIC_H
#define ATOMIC_H 1

#include "ovs-atomic.h"

#ifdef OVS_ATOMIC_CLANG_IMPL
#define atomic_load_explicit __c11_atomic_load
#define atomic_fetch_add_explicit __c11_atomic_fetch_add
#define atomic_fetch_or_explicit __c11_atomic_fetch_or
#define atomic_load(SRC) __c11_atomic_load(SRC, memory_order_seq_cst)
#define atomic_fetch_add(RMW, ARG) \
    __c11_atomic_fetch_add(RMW, ARG, memory_order_seq_cst)
#define atomic_fetch_sub(RMW, ARG) \
    __c11_atomic_fetch_sub(RMW, ARG, memory_order_seq_cst)
#endif

#endif /* atomic.h */
