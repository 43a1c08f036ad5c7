// SPDX-License-Identifier: MIT
// Enhanced status codes (RFC 3463): class "." subject "." detail. Pure.
#pragma once

#include <string>
#include <string_view>

namespace postrider::mail {

// "5.1.1": class 2, 4 or 5; subject and detail 1 to 3 digits.
bool is_status(std::string_view text);
// The code at the front of a text, when it is followed by a blank or by nothing; else empty.
std::string_view leading_status(std::string_view text);
// "5.0.0" for 550, "2.0.0" for 250; "4.0.0" for whatever is not 2xx, 4xx or 5xx.
std::string status_of_code(int reply_code);
// The same code in another class: ("5.7.1", '4') is "4.7.1". REQUIRES is_status(status).
std::string with_class(std::string_view status, char new_class);

} // namespace postrider::mail
