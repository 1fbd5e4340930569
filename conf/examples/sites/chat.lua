-- SPDX-License-Identifier: MIT
return {} -- Socket.IO clients come by the namespace "/chat"
