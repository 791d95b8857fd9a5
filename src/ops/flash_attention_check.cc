#include "src/ops/flash_attention_check.h"

#include <c10/util/Exception.h>

namespace zeta::ops {
namespace {

void check_operand(const at::Tensor& t, const char* name, const char* shape) {
  TORCH_CHECK_VALUE(t.dim() == 4, "flash_attention: expected ", name, " of shape ", shape, ", got ",
                    t.sym_sizes());
}

void check_like(const at::Tensor& t, const char* name, const at::Tensor& q) {
  TORCH_CHECK_TYPE(t.scalar_type() == q.scalar_type(), "flash_attention: expected ", name, " of q's dtype ",
                   q.scalar_type(), ", got ", t.scalar_type());
  TORCH_CHECK(t.device() == q.device(), "flash_attention: expected ", name, " on q's device ", q.device(),
              ", got ", t.device());
}

void check_shape(const at::Tensor& t, const char* name, c10::SymIntArrayRef shape) {
  TORCH_CHECK_VALUE(t.sym_sizes() == shape, "flash_attention: expected ", name, " of shape ", shape, ", got ",
                    t.sym_sizes());
}

void check_dim(const c10::SymInt& dim, const char* name) {
  TORCH_CHECK_VALUE(dim >= 1 && dim <= kMaxHeadDim, "flash_attention: expected 1 ≤ ", name, " ≤ ",
                    kMaxHeadDim, ", got ", dim);
}

void check_mask(const at::Tensor& mask, const at::Tensor& q, const at::Tensor& k) {
  TORCH_CHECK_TYPE(mask.scalar_type() == at::kBool,
                   "flash_attention: expected a bool mask (true = attend), got ", mask.scalar_type());
  TORCH_CHECK(mask.device() == q.device(), "flash_attention: expected mask on q's device ", q.device(),
              ", got ", mask.device());
  check_attention_broadcast(mask, "a mask", q, k);
}

}  // namespace

void check_attention_broadcast(const at::Tensor& t, const char* name, const at::Tensor& q,
                               const at::Tensor& k) {
  const c10::SymInt full[] = {q.sym_size(0), q.sym_size(2), q.sym_size(1), k.sym_size(1)};
  bool fits = t.dim() <= 4;
  for (int64_t i = 0; fits && i < t.dim(); ++i) {
    const auto size = t.sym_size(t.dim() - 1 - i);
    fits = size == 1 || size == full[3 - i];
  }
  TORCH_CHECK_VALUE(fits, "flash_attention: expected ", name,
                    " broadcastable to (batch, heads, seq_q, seq_k) = ", c10::SymIntArrayRef(full), ", got ",
                    t.sym_sizes());
}

void check_attention_type(const at::Tensor& q) {
  const auto type = q.scalar_type();
  TORCH_CHECK_TYPE(type == at::kFloat || type == at::kBFloat16 || type == at::kHalf || type == at::kDouble,
                   "flash_attention: expected q of float32, bfloat16, float16 or float64, got ", type);
}

void check_attention_heads(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  check_dim(q.sym_size(3), "head_dim");
  check_dim(v.sym_size(3), "value_dim");
  TORCH_CHECK_VALUE(k.sym_size(2) > 0 && q.sym_size(2) % k.sym_size(2) == 0,
                    "flash_attention: expected num_kv_heads that divides num_heads = ", q.sym_size(2),
                    ", got ", k.sym_size(2));
}

void check_attention_operands(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  check_operand(q, "q", "(batch, seq_q, num_heads, head_dim)");
  check_operand(k, "k", "(batch, seq_k, num_kv_heads, head_dim)");
  check_operand(v, "v", "(batch, seq_k, num_kv_heads, value_dim)");
  check_like(k, "k", q);
  check_like(v, "v", q);
  check_attention_heads(q, k, v);
  check_shape(k, "k", {q.sym_size(0), k.sym_size(1), k.sym_size(2), q.sym_size(3)});
  check_shape(v, "v", {q.sym_size(0), k.sym_size(1), k.sym_size(2), v.sym_size(3)});
}

void check_attention_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& mask) {
  check_attention_type(q);
  check_attention_operands(q, k, v);
  if (mask) check_mask(*mask, q, k);
}

void check_attention_gradient(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& v,
                              const at::Tensor& out, const at::Tensor& lse) {
  const c10::SymInt shape[] = {q.sym_size(0), q.sym_size(1), q.sym_size(2), v.sym_size(3)};
  check_like(grad_out, "grad_out", q);
  check_like(out, "out", q);
  check_shape(grad_out, "grad_out", shape);
  check_shape(out, "out", shape);
  check_shape(lse, "lse", {q.sym_size(0), q.sym_size(2), q.sym_size(1)});
  TORCH_CHECK(lse.device() == q.device(), "flash_attention: expected lse on q's device ", q.device(),
              ", got ", lse.device());
  TORCH_CHECK_TYPE(lse.scalar_type() == attention_compute_type(q), "flash_attention: expected lse of dtype ",
                   attention_compute_type(q), ", got ", lse.scalar_type());
}

}  // namespace zeta::ops
