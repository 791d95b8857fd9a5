// Boost.JSON compiled in: the distribution's archive is not position-independent.
#include <boost/json/src.hpp>
