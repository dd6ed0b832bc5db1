"""Lists of the entries that go to another pass, compacted without branches."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from modeling.engine.compiled import U64, inlined
from modeling.engine.target import TARGET

_BYTE, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_EIGHT = ir.VectorType(_I64, 8)
_EIGHT_BITS = ir.VectorType(ir.IntType(1), 8)


@intrinsic
def _compress_eight(typing_context, q, codes, code, index, out, left):
    """Store those of the indices index .. index + 7 whose code matches at q[out ...]; return how many."""

    def generate(context, builder, signature, arguments):
        q, codes, code, index, out, left = arguments
        data = context.make_array(signature.args[0])(context, builder, q).data
        undefined = ir.Constant(_EIGHT, ir.Undefined)
        zeros = ir.Constant(ir.VectorType(_I32, 8), [0] * 8)

        def all_eight(x):
            return builder.shuffle_vector(
                builder.insert_element(undefined, x, ir.Constant(_I32, 0)), undefined, zeros
            )

        def at(position):
            return builder.bitcast(builder.gep(data, [position]), _EIGHT.as_pointer())

        iota = ir.Constant(_EIGHT, list(range(8)))
        matches = builder.icmp_unsigned("==", builder.load(at(codes), align=8), all_eight(code))
        mask = builder.and_(matches, builder.icmp_signed("<", iota, all_eight(left)))
        kind = ir.FunctionType(_EIGHT, [_EIGHT, _EIGHT_BITS, _EIGHT])
        # llvmlite's declare_intrinsic takes no vector types, so it is declared by its name
        compress = cgutils.get_or_insert_function(
            builder.module, kind, "llvm.experimental.vector.compress.v8i64"
        )
        packed = builder.call(compress, [builder.add(iota, all_eight(index)), mask, undefined])
        builder.store(packed, at(out), align=8)
        count = builder.module.declare_intrinsic("llvm.ctpop", [_BYTE])
        return builder.zext(builder.call(count, [builder.bitcast(mask, _BYTE)]), _I64)

    return types.int64(q, types.int64, types.uint64, types.int64, types.int64, types.int64), generate


@inlined
def _pick_eight(q, codes, code, m, out):
    """List each i < m with q[codes + i] == code at `out`, eight at a time; return how many there are."""
    length, whole = 0, m & ~7
    for i in range(0, whole, 8):
        length += _compress_eight(q, codes + i, code, i, out + length, 8)
    if whole < m:
        length += _compress_eight(q, codes + whole, code, whole, out + length, m - whole)
    return length


@inlined
def _pick_two_eights(q, codes, code, other_code, m, out, other_out):
    """List the entries of two codes, reading the codes once; m is a multiple of 8."""
    length = other_length = 0
    for i in range(0, m, 8):
        length += _compress_eight(q, codes + i, code, i, out + length, 8)
        other_length += _compress_eight(q, codes + i, other_code, i, other_out + other_length, 8)
    return length, other_length


@inlined
def _pick_two_ones(q, codes, code, other_code, m, out, other_out):
    """List the entries of two codes, one list after the other."""
    return _pick_one(q, codes, code, m, out), _pick_one(q, codes, other_code, m, other_out)


@inlined
def _pick_one(q, codes, code, m, out):
    """List the same entries one at a time: faster than eight without AVX-512's compress instruction."""
    end = U64(out)
    for i in range(m):
        q[end] = U64(i)
        end += U64(q[codes + i] == code)
    return np.int64(end) - out


PICK = _pick_eight if TARGET.has_avx512 else _pick_one
PICK_TWO = _pick_two_eights if TARGET.has_avx512 else _pick_two_ones
