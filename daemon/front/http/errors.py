"""The one table of the HTTP status of each error. An error that is not in it is a bug: 500, without its text."""

from daemon import errors as service
from gcode import errors as gcode
from hal import errors as hal

STATUSES: dict[type[BaseException], int] = {
    service.BadFileName: 400,
    service.UploadBroken: 400,
    service.PortNotAllowed: 400,
    gcode.CommandError: 400,
    gcode.LocalProtocolError: 400,  # a command that belongs to the link
    hal.AddressError: 400,
    service.BadKeyName: 400,
    service.KeyRefused: 403,
    service.NoSuchFile: 404,
    service.NoSuchKey: 404,
    service.NotAFolder: 404,
    service.ConfigError: 409,  # too many keys, or their file cannot be written
    service.JobConflict: 409,
    service.BadJobKey: 400,
    service.KeyReused: 422,
    service.NoSuchEntry: 404,
    service.NoSuchPrint: 404,
    service.UnfitFile: 409,
    service.TooLate: 408,
    service.FileExists: 409,
    service.NoSuchPlace: 409,
    service.FileInUse: 409,
    service.IsAFolder: 409,
    hal.NotConnected: 409,
    service.KeyNameTaken: 409,
    service.NotPrintable: 415,
    service.TooManyAttempts: 429,
    service.TooManyRequests: 429,
    service.FileError: 500,  # the disk fails; the text says how
    service.OtherVersion: 501,
    service.CameraError: 502,
    service.CoreAway: 503,
    service.NoSuchCompanion: 404,
    service.CompanionAway: 503,
    service.StoreError: 500,
    gcode.QueueFull: 503,
    service.StorageFull: 507,
}
