"""The structs of the interface and of our extension, by name.

The classes are what thriftpy2 made of the IDL; their types stand beside this file in `structs.pyi`, made from the IDL
as well by `python -m iotdb_cluster.wire.stubs`. Of a struct that was read, required fields are never None.
"""

from iotdb_cluster.wire.idl import STRUCTS

globals().update({name: struct.make for name, struct in STRUCTS.items()})
