#include "apps/zeta-server/model_table.h"

#include <algorithm>
#include <array>

namespace zeta::server {
namespace {

using Row = std::array<std::string, 4>;

std::string status_text(const serving::ModelStatus& model) {
  std::string text(serving::model_state_name(model.state));
  if (!model.reason.empty()) text += ": " + model.reason;
  return text;
}

std::string rule(const std::array<size_t, 4>& widths) {
  std::string line = "+";
  for (const size_t width : widths) line += std::string(width + 2, '-') + "+";
  return line + "\n";
}

std::string render(const Row& row, const std::array<size_t, 4>& widths) {
  std::string line = "|";
  for (size_t i = 0; i < row.size(); ++i) {
    line += " " + row[i] + std::string(widths[i] - row[i].size(), ' ') + " |";
  }
  return line + "\n";
}

}  // namespace

std::string model_table(const std::vector<serving::ModelStatus>& models) {
  std::vector<Row> rows{{"Model", "Version", "Backend", "Status"}};
  for (const auto& model : models) {
    rows.push_back({model.name, model.version, model.backend, status_text(model)});
  }
  std::array<size_t, 4> widths{};
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string table = rule(widths) + render(rows.front(), widths) + rule(widths);
  for (size_t i = 1; i < rows.size(); ++i) table += render(rows[i], widths);
  return table + rule(widths);
}

}  // namespace zeta::server
