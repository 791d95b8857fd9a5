// zeta::flash_attention_fp8: attention of float8_e4m3fn operands, for inference, and
// zeta::quantize_attention, which makes them. docs/design/attention_fp8.md.
//
//   out = v_descale · softmax(softmax_scale · q_descale · k_descale · q kᵀ, where causal allows) v
//
//   q     (batch, seq_q, num_heads, head_dim)     float8_e4m3fn; head_dim 1..256
//   k     (batch, seq_k, num_kv_heads, head_dim)  likewise; num_kv_heads divides num_heads
//   v     (batch, seq_k, num_kv_heads, value_dim) likewise; value_dim 1..256
//   q_descale, k_descale, v_descale  float32, broadcastable to (batch, num_kv_heads), 1 where there is none;
//         a query head has its kv head's. They must be positive: heads with any other come out as NaN.
//   causal: query i sees keys up to i + seq_k - seq_q (aligned bottom-right)
//   out   (batch, seq_q, num_heads, value_dim), contiguous, bfloat16; 0 in rows that may attend nothing
//   lse   (batch, num_heads, seq_q) float32; natural log; -inf in such rows
//
// Any strides are accepted. Calls with bad arguments throw c10::Error naming the argument, its value and the
// limit; so do calls with anything that requires grad while gradients are enabled. torch.func.vmap is refused
// by name.
//
// Hopper has a kernel for dims up to 128 and a positive softmax_scale, which rounds probabilities to e4m3.
// All else is computed in float32 from the dequantised operands.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace zeta::ops {

struct Float8Attention {
  at::Tensor q, k, v;
  std::optional<at::Tensor> q_descale, k_descale, v_descale;
  double softmax_scale;
  bool causal;
};

// Thread-safe.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> flash_attention_fp8(const Float8Attention& args);

// Throws c10::Error unless shapes, dtypes and devices are as above.
C10_EXPORT void check_flash_attention_fp8(const Float8Attention& args);

// A descale as (batch, num_kv_heads), NaN where it is not positive.
C10_EXPORT at::Tensor expand_descale(const Float8Attention& args, const std::optional<at::Tensor>& descale);

// In float32, by zeta::flash_attention_forward.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> flash_attention_fp8_formula(const Float8Attention& args);

// q, k and v, of shapes as above and a floating dtype each, as float8_e4m3fn codes and float32 descales
// (batch, num_kv_heads), codes · descale approximating them: a descale is its heads' greatest magnitude /
// 448, at least 2⁻¹²⁶.
using QuantizedAttention = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
C10_EXPORT QuantizedAttention quantize_attention(const at::Tensor& q, const at::Tensor& k,
                                                 const at::Tensor& v);
C10_EXPORT void check_quantize_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);
C10_EXPORT QuantizedAttention quantize_attention_formula(const at::Tensor& q, const at::Tensor& k,
                                                         const at::Tensor& v);

template <auto kForward>
std::tuple<at::Tensor, at::Tensor> flat_fp8(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                            const std::optional<at::Tensor>& q_descale,
                                            const std::optional<at::Tensor>& k_descale,
                                            const std::optional<at::Tensor>& v_descale, double softmax_scale,
                                            bool causal) {
  return kForward({q, k, v, q_descale, k_descale, v_descale, softmax_scale, causal});
}

}  // namespace zeta::ops
