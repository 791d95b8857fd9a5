#include "src/ops/packed_linear.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include <string>
#include <utility>

#include "src/ops/linear_shape.h"
#include "src/ops/quantized_linear.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Tensor packed_linear(const Tensor& x, const Tensor& packed, const Tensor& scale, const OptionalTensor& bias,
                     std::string_view format, c10::SymInt out_features) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::packed_linear", "")
                             .typed<decltype(packed_linear)>();
  return op.call(x, packed, scale, bias, format, std::move(out_features));
}

namespace {

constexpr std::pair<std::string_view, PackedFormat> kFormats[] = {
    {"ternary", PackedFormat::kTernary}, {"int2", PackedFormat::kInt2}, {"int4", PackedFormat::kInt4},
    {"w4a8", PackedFormat::kW4A8},       {"int8", PackedFormat::kInt8}, {"fp8", PackedFormat::kFp8},
};

PackedFormat parse_format(std::string_view name) {
  std::string known;
  for (const auto& [its_name, format] : kFormats) {
    if (name == its_name) return format;
    known += (known.empty() ? "'" : ", '") + std::string(its_name) + "'";
  }
  TORCH_CHECK_VALUE(false, "expected format to be one of ", known, ", got '", name, "'");
}

void check_types(const Tensor& x, const Tensor& packed, const Tensor& scale, const OptionalTensor& bias) {
  const auto type = x.scalar_type();
  TORCH_CHECK(type == at::kFloat || at::isReducedFloatingType(type),
              "expected x of float32, bfloat16 or float16, got ", type);
  TORCH_CHECK(scale.scalar_type() == at::kFloat || scale.scalar_type() == at::kBFloat16,
              "expected scale of float32 or bfloat16, got ", scale.scalar_type());
  TORCH_CHECK(!bias || at::isFloatingType(bias->scalar_type()), "expected bias of a floating dtype, got ",
              bias->scalar_type());
  for (const Tensor& tensor : {packed, scale}) {
    TORCH_CHECK(tensor.device() == x.device(), "expected packed and scale on ", x.device(),
                ", where x is, got ", tensor.device());
  }
  TORCH_CHECK(packed.is_contiguous(), "expected packed to be contiguous, got strides ", packed.sym_strides());
}

void check_packed(const Tensor& packed, at::ScalarType dtype, const c10::SymInt& rows) {
  TORCH_CHECK(packed.scalar_type() == dtype && packed.dim() == 2, "expected packed of ", dtype,
              " and 2 dimensions, got ", packed.scalar_type(), " and ", packed.dim());
  TORCH_SYM_CHECK(packed.sym_size(0).sym_eq(rows), "expected packed of ", rows, " rows, got ",
                  packed.sym_size(0));
  TORCH_SYM_CHECK(packed.sym_numel().sym_gt(0),
                  "expected out_features ≥ 1 and in_features ≥ 1, got packed of ", packed.sym_sizes());
}

void check_ternary(const Tensor& packed, const Tensor& scale, const c10::SymInt& out_features) {
  TORCH_SYM_CHECK((out_features % 4).sym_eq(0),
                  "expected out_features to be a multiple of 4 for ternary, got ", out_features);
  check_packed(packed, at::kByte, out_features / 4);
  TORCH_SYM_CHECK(packed.sym_size(1).sym_lt(int64_t{1} << 23), "expected in_features < 2²³ for ternary, got ",
                  packed.sym_size(1));
  TORCH_SYM_CHECK(scale.sym_numel().sym_eq(1), "expected one scale for ternary, got ", scale.sym_sizes());
}

void check_int4(const Tensor& packed, const Tensor& scale, const c10::SymInt& out_features) {
  check_packed(packed, at::kInt, out_features);
  TORCH_CHECK(scale.dim() == 2, "expected scale of 2 dimensions (out_features, groups) for int4, got ",
              scale.dim());
  TORCH_SYM_CHECK(scale.sym_size(0).sym_eq(out_features), "expected scale of ", out_features, " rows, got ",
                  scale.sym_size(0));
  TORCH_SYM_CHECK(scale.sym_size(1).sym_gt(0), "expected scale of at least 1 group, got 0");
  TORCH_SYM_CHECK((packed.sym_size(1) % scale.sym_size(1)).sym_eq(0),
                  "expected groups of a multiple of 8 columns, got ", packed.sym_size(1) * 8, " columns in ",
                  scale.sym_size(1), " groups");
}

// The formats with a scale for each output.
void check_rows(const Tensor& packed, const Tensor& scale, PackedFormat format, std::string_view name,
                const c10::SymInt& out_features) {
  const bool fp8 = format == PackedFormat::kFp8, int2 = format == PackedFormat::kInt2;
  if (!fp8) {
    TORCH_SYM_CHECK((out_features % 4).sym_eq(0), "expected out_features to be a multiple of 4 for ", name,
                    ", got ", out_features);
    TORCH_SYM_CHECK(packed.sym_size(-1).sym_lt(1 << 16), "expected in_features < 2¹⁶ for ", name, ", got ",
                    packed.sym_size(-1));
  }
  check_packed(packed, fp8 ? at::kFloat8_e4m3fn : at::kByte, int2 ? out_features / 4 : out_features);
  TORCH_SYM_CHECK(scale.sym_numel().sym_eq(out_features), "expected scale of ", out_features,
                  " elements for ", name, ", got ", scale.sym_sizes());
}

}  // namespace

PackedFormat check_packed_linear(const Tensor& x, const Tensor& packed, const Tensor& scale,
                                 const OptionalTensor& bias, std::string_view name,
                                 const c10::SymInt& out_features) {
  const PackedFormat format = parse_format(name);
  check_types(x, packed, scale, bias);
  const bool words = format == PackedFormat::kInt4 || format == PackedFormat::kW4A8;
  switch (format) {
    case PackedFormat::kTernary:
      check_ternary(packed, scale, out_features);
      break;
    case PackedFormat::kInt4:
    case PackedFormat::kW4A8:
      check_int4(packed, scale, out_features);
      break;
    default:
      check_rows(packed, scale, format, name, out_features);
      break;
  }
  if (format == PackedFormat::kW4A8) {
    TORCH_SYM_CHECK((packed.sym_size(1) * 8).sym_lt(kMaxInt8Features),
                    "expected in_features < 2²⁰ for w4a8, got ", packed.sym_size(1) * 8);
  }
  check_linear_shapes(x, bias, packed.sym_size(1) * (words ? 8 : 1), out_features);
  return format;
}

namespace {

Tensor forward_meta(const Tensor& x, const Tensor& packed, const Tensor& scale, const OptionalTensor& bias,
                    std::string_view format, c10::SymInt out_features) {
  check_packed_linear(x, packed, scale, bias, format, out_features);
  return at::empty_symint(linear_output_sizes(x, out_features), x.options());
}

// Bits 2i, 2i + 1 of the bytes, one block of rows after the other.
Tensor unpack_pairs(const Tensor& packed) {
  std::vector<Tensor> parts;
  for (int shift = 0; shift < 8; shift += 2)
    parts.push_back(at::bitwise_right_shift(packed, shift).bitwise_and_(3));
  return at::cat(parts).to(at::kChar);
}

Tensor unpack(const Tensor& packed, PackedFormat format) {
  switch (format) {
    case PackedFormat::kTernary:
      return unpack_pairs(packed).sub_(1);
    case PackedFormat::kInt2:
      return unpack_pairs(packed).mul_(2).sub_(3);
    case PackedFormat::kFp8:
      return packed;
    case PackedFormat::kInt8: {
      Tensor codes;
      int shift = 0;
      for (const Tensor& plane : packed.chunk(4)) {
        const Tensor digits = unpack_pairs(plane).to(at::kByte).bitwise_left_shift(shift);
        codes = codes.defined() ? codes.bitwise_or_(digits) : digits;
        shift += 2;
      }
      return codes.bitwise_xor_(0x80).view(at::kChar);
    }
    case PackedFormat::kInt4:
    case PackedFormat::kW4A8:
      break;
  }
  std::vector<Tensor> parts;
  for (int shift = 0; shift < 32; shift += 4) {
    parts.push_back(at::bitwise_right_shift(packed, shift).bitwise_and_(15).to(at::kChar));
  }
  return at::stack(parts, -1).flatten(1).sub_(8);
}

Precision precision_of(PackedFormat format) {
  switch (format) {
    case PackedFormat::kTernary:
      return Precision::kTernary;
    case PackedFormat::kInt4:
      return Precision::kInt4;
    case PackedFormat::kW4A8:
      return Precision::kW4A8;
    case PackedFormat::kInt2:
      return Precision::kInt2;
    case PackedFormat::kInt8:
      return Precision::kInt8;
    case PackedFormat::kFp8:
      break;
  }
  return Precision::kFp8;
}

template <c10::DeviceType kDevice, c10::DispatchKey kKey>
Tensor forward_autocast(const Tensor& x, const Tensor& packed, const Tensor& scale,
                        const OptionalTensor& bias, std::string_view format, c10::SymInt out_features) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(kKey);
  const auto type = at::autocast::get_autocast_dtype(kDevice);
  return packed_linear(at::autocast::cached_cast(type, x, kDevice), packed, scale, bias, format,
                       out_features);
}

}  // namespace

Tensor packed_linear_aten(const Tensor& x, const Tensor& packed, const Tensor& scale,
                          const OptionalTensor& bias, std::string_view name, c10::SymInt out_features) {
  const PackedFormat format = check_packed_linear(x, packed, scale, bias, name, out_features);
  const Tensor codes = unpack(packed, format), wide = scale.to(at::kFloat);
  Tensor scales = wide;
  if (format == PackedFormat::kTernary) {
    scales = wide.reshape({1});
  } else if (format != PackedFormat::kInt4 && format != PackedFormat::kW4A8) {
    scales = wide.reshape({-1, 1});
  }
  const Tensor y =
      quantized_linear(x.reshape({-1, codes.size(1)}), codes, scales, bias, precision_of(format));
  return y.view_symint(linear_output_sizes(x, out_features));
}

}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def(
      "packed_linear(Tensor x, Tensor packed, Tensor scale, Tensor? bias, str format, SymInt out_features) "
      "-> Tensor",
      {at::Tag::pt2_compliant_tag});
}

// For devices without a kernel of ours.
TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("packed_linear", zeta::ops::packed_linear_aten);
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) { m.impl("packed_linear", zeta::ops::forward_meta); }

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("packed_linear", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(zeta, AutocastCPU, m) {
  m.impl("packed_linear", zeta::ops::forward_autocast<at::kCPU, c10::DispatchKey::AutocastCPU>);
}

TORCH_LIBRARY_IMPL(zeta, AutocastCUDA, m) {
  m.impl("packed_linear", zeta::ops::forward_autocast<at::kCUDA, c10::DispatchKey::AutocastCUDA>);
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("packed_linear", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
