// Boost.JSON whole, as its header-only mode provides it.
#include <boost/json/src.hpp>
