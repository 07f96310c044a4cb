"""The HTTP status of each error: the only place. An error in no row is a bug, whose text is not shown to clients."""

from daemon import errors as service
from daemon.farm import errors as farm
from daemon.farm.carrier import errors as carrier
from gcode.errors import NozzledError

STATUSES: dict[type[BaseException], int] = {
    farm.BadJob: 400,
    farm.NoSuchJob: 404,
    farm.NoSuchCopy: 404,
    farm.UnknownFile: 404,
    farm.FarmConflict: 409,
    farm.IdempotencyKeyReused: 422,
    farm.ListAway: 503,
    carrier.FarmUnreachable: 503,
    carrier.FarmRefused: 409,
    service.BadKeyName: 400,
    service.KeyNameTaken: 409,
    service.KeyRefused: 403,
    service.NoSuchKey: 404,
    service.NotPrintable: 415,
    service.TooManyAttempts: 429,
    service.UploadBroken: 400,
    service.StorageFull: 507,
    service.StoreError: 500,
    NozzledError: 500,  # all others: their texts are sentences for users
}
