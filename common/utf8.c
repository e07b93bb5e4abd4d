/* Text that comes from outside: is it UTF-8, and making it so. */
#include "common/utf8.h"

#include <string.h>

size_t utf8_sequence(const char *text, size_t size)
{
    const unsigned char *byte = (const unsigned char *)text;
    if (size == 0)
        return 0;
    unsigned char lead = byte[0];
    if (lead < 0x80)
        return 1;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || size < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (lead == 0xe0 && byte[1] < 0xa0) || (lead == 0xf0 && byte[1] < 0x90);
    bool surrogate = lead == 0xed && byte[1] > 0x9f;
    bool too_large = lead == 0xf4 && byte[1] > 0x8f;
    return overlong || surrogate || too_large ? 0 : length;
}

bool utf8_is_valid(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = utf8_sequence(text + at, size - at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

void utf8_repair(char *text)
{
    size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        size_t length = utf8_sequence(text + at, size - at);
        if (length == 0)
            text[at] = '?';
        at += length ? length : 1;
    }
}
