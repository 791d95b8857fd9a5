// Standard input, output and error, which a parent may have closed.
#pragma once

namespace zeta {

// Opens /dev/null in the place of each that is closed: else the next socket gets its number, and the log goes
// to a client. Called before anything is opened.
void open_standard_streams();

}  // namespace zeta
