; Generated with MatterSlice 2.20.6
; filamentDiameter = 1.75
; extrusionWidth = 0.4
; firstLayerExtrusionWidth = 0.4
; layerThickness = 0.2
; firstLayerThickness = 0.3
; automatic settings before start_gcode
M140 S60
M104 S150
G28
M190 S60
M109 S215
G90
M82
G92 E0
; Layer count: 3
; Layer Change GCode
; LAYER:0
; LAYER_HEIGHT:0.3
G1 Z0.30 F600
G0 X50 Y50 F6000
G1 X70 Y50 E0.66 F1800
G1 X70 Y70 E1.32 F1800
G1 X50 Y70 E1.98 F1800
G1 X50 Y50 E2.64 F1800
; Layer Change GCode
; LAYER:1
; LAYER_HEIGHT:0.2
G1 Z0.50 F600
G0 X50 Y50 F6000
G1 X70 Y50 E3.30 F1800
G1 X70 Y70 E3.96 F1800
G1 X50 Y70 E4.62 F1800
G1 X50 Y50 E5.28 F1800
; Layer Change GCode
; LAYER:2
; LAYER_HEIGHT:0.2
G1 Z0.70 F600
G0 X50 Y50 F6000
G1 X70 Y50 E5.94 F1800
G1 X70 Y70 E6.60 F1800
G1 X50 Y70 E7.26 F1800
G1 X50 Y50 E7.92 F1800
M104 S0
M140 S0
M84
; filament used = 7.9
; filament used extruder 1 (mm) = 7.9
; filament used extruder 2 (mm) = 0.0
; total print time (s) = 3723
; MatterSlice Completed Successfully
