/* Includes messages.def with whatever macros the includer has defined; the others expand to
 * nothing, and all are undefined afterwards. Has no include guard on purpose. */
#ifndef RECORD
#define RECORD(...)
#endif
#ifndef RECORD_END
#define RECORD_END(...)
#endif
#ifndef METHOD
#define METHOD(...)
#endif
#ifndef METHOD_END
#define METHOD_END(...)
#endif
#ifndef FIELD
#define FIELD(...)
#endif
#ifndef ONE
#define ONE(...)
#endif
#ifndef GROUP
#define GROUP(...)
#endif

#include "common/messages.def"

#undef RECORD
#undef RECORD_END
#undef METHOD
#undef METHOD_END
#undef FIELD
#undef ONE
#undef GROUP
